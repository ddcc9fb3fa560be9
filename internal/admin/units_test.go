package admin

import (
	"math"
	"testing"
)

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		-1: "-1 B", 0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 1536 << 10: "1.5 MiB",
		5 << 30: "5.0 GiB", 3 << 40: "3.0 TiB", math.MaxInt64: "8192.0 PiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{
		-5: "0ms", 0: "0ms", 0.0034: "3ms", 0.9996: "1s", 59.4: "59s", 59.6: "1m", 200: "3m20s", 3600: "1h", 7500: "2h5m",
		86400: "1d", 273600: "3d4h", math.Inf(1): "24855d3h",
	} {
		if got := secondsText(n); got != want {
			t.Errorf("%v seconds: %s, want %s", n, got, want)
		}
	}
	if got := secondsText(math.NaN()); got != "0ms" {
		t.Errorf("NaN seconds: %s", got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := countText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
