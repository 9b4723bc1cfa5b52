// Package page is the page of the HTTP endpoint for people: the table of the last interval, and
// whether its numbers are exact.
//
// Its input are the metrics of the process itself, gathered only while somebody looks. Any goroutine
// may call the handlers. The page is one embedded file: it loads nothing from elsewhere, and works
// without JavaScript.
package page
