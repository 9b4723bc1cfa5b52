// Program replay measures what it costs to replay a capture: the CPU time of the whole process, beside that of other
// programs that read the same file. It makes the captures itself, runs all programs in turn, and prints for each the best and
// the median of its runs. Everything runs with GOMAXPROCS=1 where that means anything.
//
//	$ go run ./test/replay -runs 7 build/redis-observer
//	single.pcap: 209 MB, 2000000 packets, 1000000 commands
//	  redis-observer replay             best 0.32 s   median 0.40 s   3.1 million commands per CPU second at best
//	  ...
//
// The others are tcpdump -w, which copies packets and looks into none; gopacket, which finds the segments and does nothing with
// them (the program runs itself for that); and tshark -z, which is left out where it is not installed.
package main
