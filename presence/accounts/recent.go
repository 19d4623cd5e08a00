package accounts

import (
	"sync"
	"time"
)

// recent is a cache with a bound and an age. It keeps two generations: new
// entries go to the young one; when that is full the old one is forgotten as a
// whole. So it never holds more than twice size entries, needs no goroutine,
// and drops what was put first. Nothing is lost by a drop: the caller reads
// again.
type recent[K comparable, V any] struct {
	size int
	age  time.Duration

	mu         sync.Mutex
	young, old map[K]dated[V]
}

type dated[V any] struct {
	value V
	until time.Time
}

func newRecent[K comparable, V any](size int, age time.Duration) *recent[K, V] {
	return &recent[K, V]{size: size, age: age, young: map[K]dated[V]{}}
}

// get returns a value no older than the cache's age.
func (r *recent[K, V]) get(k K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.young[k]
	if !ok {
		d, ok = r.old[k]
	}
	if !ok || !time.Now().Before(d.until) {
		var none V
		return none, false
	}
	return d.value, true
}

func (r *recent[K, V]) put(k K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= r.size {
		r.old, r.young = r.young, map[K]dated[V]{}
	}
	r.young[k] = dated[V]{value: v, until: time.Now().Add(r.age)}
}

func (r *recent[K, V]) drop(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, k)
	delete(r.old, k)
}
