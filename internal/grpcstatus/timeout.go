package grpcstatus

import (
	"math"
	"strconv"
	"time"
)

// TimeoutHeader is the header of a call that says how long its client waits.
const TimeoutHeader = "Grpc-Timeout"

// mostUnits is the largest number of a timeout, of up to eight digits.
const mostUnits = 99_999_999

// timeoutUnits are those of grpc-timeout (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
var timeoutUnits = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// ParseTimeout reads a grpc-timeout: at most eight digits and a unit. One that is too long for a Duration is the longest.
func ParseTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	unit, ok := timeoutUnits[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}

// FormatTimeout is a grpc-timeout, rounded up, so that a server does not end a call before its client does.
func FormatTimeout(d time.Duration) string {
	d = max(d, 0)
	for _, unit := range []byte("numS") {
		if size := timeoutUnits[unit]; d <= mostUnits*size {
			return strconv.FormatInt(int64((d+size-1)/size), 10) + string(unit)
		}
	}
	return strconv.Itoa(mostUnits) + "S" // three years
}
