// Package layers holds the test of which package may reach which, so that what is pure stays so.
package layers
