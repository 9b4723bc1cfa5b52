// Package report prints the Redis metric families as a table: rate, quantiles and errors of each
// name and command. The demonstration and `replay --output table` use it. Its input is any scrape.
package report
