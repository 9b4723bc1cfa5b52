module github.com/redis-observer/redis-observer

go 1.26
