package mine

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSpoolGivesBackInOrder: all that was put in, sorted, whatever went to the file.
func TestSpoolGivesBackInOrder(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 60), 0, 4000).Draw(t, "records")
		large := rapid.IntRange(0, 2).Draw(t, "large")
		for range large {
			records = append(records, bytes.Repeat([]byte{byte(large), 200}, block))
		}
		b := &budget{dir: dir, parts: 1 << rapid.IntRange(0, 8).Draw(t, "parts"), keep: rapid.Int64Range(0, 100_000).Draw(t, "keep"), sort: rapid.IntRange(1, 200_000).Draw(t, "sort")}
		s := b.spool("test")
		defer s.close()
		w := s.writer()
		for _, r := range records {
			if err := w.add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		var got [][]byte
		var room sorter
		for part := range s.parts {
			err := s.sorted(&room, part, func(rec []byte) error {
				got = append(got, bytes.Clone(rec))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.SortFunc(records, bytes.Compare)
		if !slices.EqualFunc(records, got, bytes.Equal) {
			t.Fatalf("%d records came back of %d, or in another order", len(got), len(records))
		}
		s.close()
		if b.kept.Load() != 0 {
			t.Fatalf("%d bytes are still counted", b.kept.Load())
		}
	})
}
