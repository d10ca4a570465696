package mine

// How many lines a second. With PENSTOCK_MINE_LINES=100000000 so many lines are mined once,
// from a file that is made on the way in PENSTOCK_MINE_DIR (the system's directory of
// temporary files, if not given).

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// writeLog writes lines of two sales: one account in five hundred is a bot with a hundred times
// the requests of the others, and one line in ten is a look at a page.
func writeLog(b *testing.B, file string, lines int) int64 {
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	accounts := max(lines/50, 100)
	var line []byte
	for i := range lines {
		n := r.IntN(accounts)
		if r.IntN(6) == 0 {
			n = r.IntN(max(accounts/500, 1)) * 500
		}
		sale, step, reason := "phone", "buy", "sold_out"
		if n&1 == 1 {
			sale = "console"
		}
		switch r.IntN(10) {
		case 0:
			step, reason = "look", "admitted"
		case 1:
			reason = "rate_limited"
		}
		after := int64(float64(i) / float64(lines) * 1800e6) // half an hour
		line = append(line[:0], `{"t":`...)
		line = strconv.AppendInt(line, opening+after, 10)
		line = append(line, `,"sale":"`+sale+`","acct":"c:user`...)
		line = strconv.AppendInt(line, int64(n), 10)
		line = append(line, `","ip":"10.`...)
		home := n / 3
		for j, shift := range [...]int{16, 8, 0} {
			if j > 0 {
				line = append(line, '.')
			}
			line = strconv.AppendInt(line, int64(home>>shift&255), 10)
		}
		line = append(line, `","step":"`+step+`","reason":"`+reason+`","o":`...)
		line = strconv.AppendInt(line, after/1000, 10)
		w.Write(append(line, "}\n"...))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

func BenchmarkMine(b *testing.B) {
	lines := 2_000_000
	if s := os.Getenv("PENSTOCK_MINE_LINES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		lines = n
	}
	dir := os.Getenv("PENSTOCK_MINE_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	file := filepath.Join(dir, "decisions.log")
	defer os.Remove(file)
	size := writeLog(b, file, lines)
	const memory = 2 << 30
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
	var disk int64
	b.SetBytes(size)
	for b.Loop() {
		r, err := Run(b.Context(), Options{Logs: []string{file}, Workers: runtime.GOMAXPROCS(0), Memory: memory, Tmp: dir})
		if err != nil {
			b.Fatal(err)
		}
		err = r.Ranked(b.Context(), Threshold, 0, func(*Ranked) error { return nil })
		if err != nil || r.Lines != int64(lines) || r.Unreadable != 0 {
			b.Fatal(err, r.Lines, r.Unreadable)
		}
		disk = r.Disk
		r.Close()
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(peak(b)/(1<<20), "peak-MiB")
	b.ReportMetric(float64(disk)/(1<<20), "temp-MiB")
}

// peak is the most memory this process has had, by the kernel.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	return 0
}

func BenchmarkLine(b *testing.B) {
	line := []byte(`{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152}`)
	other := append([]byte(`{"new":1,`), line[1:]...)
	w := newWords()
	for name, line := range map[string][]byte{"as written": line, "any JSON": other} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			var e entry
			for b.Loop() {
				if !w.read(line, &e) {
					b.Fatal("cannot be read")
				}
			}
		})
	}
}
