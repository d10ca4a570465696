package config

// Lists of subjects: files of one account, address or network in each line. They may
// have millions of lines, so they are read in blocks, and what is kept of a line is a
// piece of its block. A line that means nothing is told with its number and never passed
// over: somebody put it there to keep somebody out, or in.
//
// It does not know who an account is, and does not look for subjects that stand in two
// lists.

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"penstock/rules"
)

// What is read of lists.
const (
	maxList  = 256 << 20
	maxLine  = 4 << 10
	maxTold  = 20 // lines of one list that are told, if they are not right
	shown    = 80 // bytes of one of them
	listRead = 256 << 10
)

// listUse is a list as it is read for one purpose.
type listUse struct {
	path string
	of   content
}

// content is what the lines of a list are about.
type content uint8

const (
	banned  content = iota // accounts, addresses and networks; what else a line says is for people
	members                // accounts; what else a line says does not count
	words                  // accounts, each with a word
	numbers
	times
)

// ReadList reads a file as bans.lists does: accounts, addresses and networks. On lines
// that are not right the error is a Faults with the lines of the list.
func ReadList(path string) (*rules.List, error) {
	r := &reader{file: path}
	l := &rules.List{}
	if err := r.readList(path, l, banned); err != nil {
		return nil, err
	}
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	return l, nil
}

// errTooLarge is what readList says of files above its limit.
var errTooLarge = errors.New("larger than " + sizeText(maxList))

func (r *reader) readList(path string, into *rules.List, of content) error {
	f, size, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if size > maxList {
		return errTooLarge
	}
	return (&lines{r: r, into: into, of: of}).read(f, size)
}

// lines reads one list.
type lines struct {
	r    *reader // of the list: its faults have the lines of the list
	into *rules.List
	of   content

	line int // from 1
	more int // lines that are not right and not told
	told int
}

// read reads a list of about size bytes.
func (l *lines) read(in io.Reader, size int64) error {
	buf := make([]byte, listRead)
	kept, all := 0, int64(0)
	for {
		n, err := io.ReadFull(in, buf[kept:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if all += int64(n); all > maxList {
			return errTooLarge
		}
		have := kept + n
		end := bytes.LastIndexByte(buf[:have], '\n') + 1
		if last {
			end = have
		}
		if end == 0 && have == len(buf) {
			l.line++
			l.fault(longLine, sizeText(maxLine))
			break // whatever this is, it is no list
		}
		l.block(string(buf[:end]), size)
		if last {
			break
		}
		kept = copy(buf, buf[end:have])
	}
	if l.more > 0 {
		l.line = math.MaxInt
		l.told = 0
		l.fault(moreLines, l.r.file, l.more)
	}
	return nil
}

// block reads whole lines.
func (l *lines) block(s string, size int64) {
	if l.line == 0 {
		s = strings.TrimPrefix(s, "\ufeff") // as spreadsheets write it
	}
	if l.into.Values == nil && s != "" {
		l.into.Values = make(map[string]string, int64(strings.Count(s, "\n"))*size/int64(len(s)))
	}
	for s != "" {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		l.line++
		if line = strings.Trim(uncomment(strings.TrimSuffix(line, "\r")), " \t"); line != "" {
			l.entry(line)
		}
	}
}

// uncomment takes off a comment: # with a blank or nothing behind it, at the beginning or
// behind a blank.
func uncomment(s string) string {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '#')
		if i < 0 {
			return s
		}
		i += from
		if (i == 0 || blank(s[i-1])) && (i+1 == len(s) || blank(s[i+1])) {
			return s[:i]
		}
		from = i + 1
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// entry reads a line that says something.
func (l *lines) entry(line string) {
	if len(line) > maxLine {
		l.fault(longLine, sizeText(maxLine))
		return
	}
	if !printable(line) {
		l.fault(notText, line)
		return
	}
	subject, value, comma := strings.Cut(line, ",")
	if comma {
		subject, value = strings.TrimRight(subject, " "), strings.TrimLeft(value, " ")
	}
	switch {
	case subject == "":
		l.fault(noSubject)
	case subject[0] == '#' && !hashed(subject):
		l.fault(looseHash, subject)
	case subject[0] == '"':
		l.fault(quoted, subject)
	case l.of == banned && addressed(subject):
		l.network(subject)
	default:
		l.account(subject, value)
	}
}

// printable reports whether a line holds only what people can see in it.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == 0x7f {
			return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		}
	}
	return true
}

// hashed reports whether s is an account as it is written where accounts are hashed.
func hashed(s string) bool {
	if len(s) != 17 || s[0] != '#' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (l *lines) account(name, value string) {
	var k kind
	switch l.of {
	case numbers:
		if n, err := strconv.ParseFloat(value, 64); err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			k = notNumber
		}
	case times:
		if !since(value) {
			k = notSince
		}
	}
	if k != 0 {
		l.fault(k, value)
		return
	}
	if l.of >= words {
		if other, again := l.into.Values[name]; again && other != value {
			l.fault(otherValue, name)
			return
		}
	}
	l.into.Values[name] = value
	l.into.Hashed = l.into.Hashed || name[0] == '#'
}

// since reports whether s is a time as rules.OlderThan takes it.
func since(s string) bool {
	if _, err := strconv.ParseInt(s, 10, 64); err == nil {
		return true
	}
	if _, err := time.Parse(time.DateOnly, s); err == nil {
		return true
	}
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

// addressed reports whether s is an address or network, or was meant to be one: its first
// word has nothing in it but what these are written with. Accounts such as "c:12" and
// "2026.11" are not.
func addressed(s string) bool {
	dots, colons, slash := 0, 0, false
	digits := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c == '/':
			slash = true
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			digits = false
		case c == ' ' || c == '%':
			head := s[:i]
			_, err := netip.ParseAddr(head)
			if err != nil {
				_, err = netip.ParsePrefix(head)
			}
			return err == nil
		default:
			return false
		}
	}
	if colons > 1 {
		_, err := netip.ParseAddr(s)
		return err == nil || slash && strings.Contains(s, "::")
	}
	return colons == 0 && digits && (dots == 3 || slash && dots > 0)
}

// network reads an address or a network. What everybody is in is nobody's list.
func (l *lines) network(s string) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		l.into.Networks = append(l.into.Networks, netip.PrefixFrom(ip, ip.BitLen()))
		return
	}
	switch p, err := netip.ParsePrefix(s); {
	case err != nil || p.Addr().Is4In6():
		l.fault(notAddressed, s)
	case p != p.Masked():
		l.fault(hostBits, p, p.Masked())
	case p.Bits() == 0:
		l.fault(bansAll, p)
	default:
		l.into.Networks = append(l.into.Networks, p)
	}
}

// fault tells of the line. Of many that are not right the first are enough to see why, and
// of a long one its beginning.
func (l *lines) fault(k kind, args ...any) {
	if l.told == maxTold {
		l.more++
		return
	}
	l.told++
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) > shown {
			args[i] = s[:shown] + "..."
		}
	}
	l.r.say(l.line, "list", k, args...)
}
