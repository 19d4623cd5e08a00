package presence

import (
	"hash/fnv"
	"strconv"

	"github.com/switchboard/switchboard"
)

// Partitions is the number of hash tags over which organizations are spread. It
// is written into the registry at the first start and cannot be changed in
// place: another number would look for people under other keys.
const Partitions = 32

// tags returns one short tag for each of n evenly spaced cluster slots
// (2i+1)*16384/(2n). Even spacing balances every cluster size from 1 to n,
// where plain numbers as tags leave some masters empty (realtime.md 3.1).
func tags(n int) []string {
	want := make(map[uint16]int, n)
	for i := range n {
		want[uint16((2*i+1)*16384/(2*n))] = i
	}
	out := make([]string, n)
	for k, left := 0, n; left > 0; k++ {
		tag := strconv.FormatInt(int64(k), 36)
		i, ok := want[slot(tag)]
		if ok && out[i] == "" {
			out[i] = tag
			left--
		}
	}
	return out
}

// slot is the Redis Cluster key slot of a hash tag: CRC16/XMODEM mod 16384
// (Redis Cluster specification, appendix A).
func slot(tag string) uint16 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}

// jump is Lamping and Veach's jump consistent hash ("A Fast, Minimal Memory,
// Consistent Hash Algorithm", 2014).
func jump(key uint64, buckets int) int {
	b, j := int64(-1), int64(0)
	for j < int64(buckets) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(b)
}

func fnv64(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// partitionOf returns which of n partitions an organization lives in, wholly.
func partitionOf(org switchboard.OrgID, n int) int {
	return jump(fnv64(strconv.FormatInt(int64(org), 10)), n)
}

// keeper returns which of the living incarnations does the chores of a
// partition: the one with the highest rendezvous hash. All nodes come to the
// same answer without talking; a wrong or doubled keeper does no harm.
func keeper(tag string, alive []string) string {
	best, high := "", uint64(0)
	for _, inc := range alive {
		if h := fnv64(tag + "/" + inc); best == "" || h > high || (h == high && inc < best) {
			best, high = inc, h
		}
	}
	return best
}
