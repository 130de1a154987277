package ratelimit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func client(n int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

func TestBucket(t *testing.T) {
	for name, test := range map[string]struct {
		rate  Rate
		times []float64
		waits []float64
	}{
		"a burst, and then the rate":     {Rate{2, 3}, []float64{0, 0, 0, 0, 0.25, 0.5, 0.5, 10}, []float64{0, 0, 0, 0.5, 0.25, 0, 0.5, 0}},
		"by default a second's burst":    {Rate{2, 0}, []float64{0, 0, 0}, []float64{0, 0, 0.5}},
		"less than one per second":       {Rate{0.1, 0}, []float64{0, 1, 10}, []float64{0, 9, 0}},
		"a waiting client takes nothing": {Rate{1, 1}, []float64{0, 0.1, 0.2, 0.3, 1}, []float64{0, 0.9, 0.8, 0.7, 0}},
		"no limit":                       {Rate{}, []float64{0, 0, 0, 0}, []float64{0, 0, 0, 0}},
	} {
		b := NewBucket(test.rate)
		for i, when := range test.times {
			want := time.Duration(test.waits[i] * float64(time.Second))
			if got := b.Take(at(when)); (got - want).Abs() > time.Millisecond {
				t.Errorf("%s: request %d at %gs waits %s, want %s", name, i, when, got, want)
			}
		}
	}
}

func TestSetKeepsWhatWasUsed(t *testing.T) {
	b := NewBucket(Rate{1, 2})
	b.Take(at(0))
	b.Take(at(0))
	b.Set(Rate{1, 2}, at(0))
	b.Set(Rate{10, 20}, at(0))
	if wait := b.Take(at(0)); wait != 100*time.Millisecond {
		t.Errorf("after the change the wait is %s, want that of the new rate", wait)
	}
	b.Set(Rate{}, at(0))
	if wait := b.Take(at(0)); wait != 0 {
		t.Errorf("without a limit the wait is %s", wait)
	}
}

func TestClientsHaveBucketsOfTheirOwn(t *testing.T) {
	table := NewTable(Rate{1, 1})
	for i := range 3 {
		if table.Take(client(i), at(0)) != 0 || table.Take(client(i), at(0)) == 0 {
			t.Errorf("client %d does not get exactly one request", i)
		}
	}
	unlimited := NewTable(Rate{})
	for range 10 {
		if unlimited.Take(client(0), at(0)) != 0 {
			t.Error("without a limit a request waits")
		}
	}
	if len(unlimited.clients) != 0 {
		t.Error("without a limit clients are kept")
	}
}

func TestFullBucketsLeaveTheTable(t *testing.T) {
	table := NewTable(Rate{1, 5})
	for i := range 1000 {
		table.Take(client(i), at(0))
	}
	for i := range 1000 {
		table.Take(client(1000+i), at(1.5))
	}
	if n := len(table.clients); n > 1001 || n != table.order.Len() {
		t.Errorf("%d clients and %d in order are kept, those before included", n, table.order.Len())
	}
}

// A client that has used its tokens must not get new ones by a flood of other addresses, and the flood not more memory.
func TestFloodNeitherGrowsTheTableNorFreesABucket(t *testing.T) {
	table := newTable(Rate{0.001, 1}, 100)
	used := client(0)
	table.Take(used, at(0))
	allowed := 0
	for i := range 100_000 {
		if table.Take(client(1+i), at(float64(i)/100_000)) == 0 {
			allowed++
		}
		if i%1000 == 0 && table.Take(used, at(float64(i)/100_000)) == 0 {
			t.Fatalf("after %d addresses the client has a token again", i)
		}
	}
	if len(table.clients) != 100 || table.order.Len() != 100 {
		t.Errorf("%d clients are kept", len(table.clients))
	}
	if allowed > 99+maxShared {
		t.Errorf("%d requests of the flood are allowed, more than there are buckets", allowed)
	}
}

// Property: whatever others do, in any time a client gets at most its burst and its rate.
func TestNoClientGetsMoreThanItsRate(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		table := newTable(Rate{5, 3}, 1+random.IntN(20))
		got := map[int]int{}
		now := 0.0
		for range 5000 {
			now += random.Float64() / 200
			if i := random.IntN(30); table.Take(client(i), at(now)) == 0 {
				got[i]++
			}
		}
		for i, n := range got {
			if limit := 3 + 3 + int(5*now) + 1; n > limit { // its bucket, and at worst a shared one
				t.Errorf("seed %d: client %d got %d requests in %gs, limit %d", seed, i, n, now, limit)
			}
		}
	}
}
