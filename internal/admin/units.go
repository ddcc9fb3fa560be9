package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// oneLine makes a text that came from outside harmless to a terminal and to a line of a table.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// bytesText is n in the largest binary unit that leaves a whole: "0 B", "1.5 MiB".
func bytesText(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	value := float64(n) / (1 << 10)
	for value >= 1023.95 && len(units) > 1 { // would be written as 1024.0
		value, units = value/(1<<10), units[1:]
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + units[0]
}

// secondsText is a duration with its two largest units: "340ms", "12s", "3m20s", "2h5m", "3d4h".
func secondsText(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		seconds = 0 // a clock was set back
	}
	if seconds < 0.9995 {
		return strconv.Itoa(int(math.Round(seconds*1000))) + "ms"
	}
	whole := int64(min(math.Round(seconds), math.MaxInt32))
	for _, unit := range []struct {
		size, part  int64
		name, minor string
	}{{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}} {
		if whole < unit.size {
			continue
		}
		text := strconv.FormatInt(whole/unit.size, 10) + unit.name
		if rest := whole % unit.size / unit.part; rest > 0 {
			text += strconv.FormatInt(rest, 10) + unit.minor
		}
		return text
	}
	return strconv.FormatInt(whole, 10) + "s"
}

// ageText is how long before now a moment was; empty when it is not known.
func ageText(now time.Time, then Time) string {
	if then.IsZero() {
		return ""
	}
	return secondsText(now.Sub(then.Time).Seconds())
}

// forText is how long something lasts: "for 3m20s"; empty when that is not known.
func forText(now time.Time, since Time) string {
	if since.IsZero() {
		return ""
	}
	return "for " + ageText(now, since)
}

// countText groups thousands: "12,345".
func countText(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// countOf is a count with its noun: "1 document", "412 documents".
func countOf(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%s %s", countText(n), noun)
}
