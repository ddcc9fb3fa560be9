package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// Supported lists the major versions that cdc is tested against.
func Supported() []int { return []int{14, 15, 16, 17, 18} }

// ErrNotInstalled says that no Postgres server of the version asked for was found.
var ErrNotInstalled = errors.New("no Postgres server found: run `npm ci` in test/postgres, " +
	"or set CDC_TEST_PG_BIN_<version> to a folder that has initdb, pg_ctl and postgres")

// Versions lists the major versions installed, oldest first.
func Versions() []int {
	return slices.Sorted(maps.Keys(installs()))
}

// Bin is the path of a program that belongs to that version (pg_recvlogical, pg_resetwal, psql), "" when it is not
// installed. The npm packages have initdb, pg_ctl and postgres only; others are looked for in /usr/lib/postgresql.
func Bin(version int, name string) string {
	in, err := find(version)
	if err != nil {
		return ""
	}
	return program(name, in.bin, debian(in.version))
}

func program(name string, dirs ...string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// install is a folder with initdb, pg_ctl and postgres.
type install struct {
	version int // major
	bin     string
}

// installs finds what there is, once: the first place that has a version wins.
var installs = sync.OnceValue(func() map[int]install {
	found := map[int]install{}
	add := func(bin string) {
		version, err := majorOf(bin)
		if _, known := found[version]; err == nil && !known {
			found[version] = install{version, bin}
		}
	}
	for _, v := range Supported() {
		add(os.Getenv("CDC_TEST_PG_BIN_" + strconv.Itoa(v)))
	}
	add(os.Getenv("CDC_TEST_PG_BIN"))
	if root := moduleRoot(); root != "" {
		// The package of Linux on amd64 has the plain name; npm installs only what this machine can run.
		for _, platform := range []string{"", "-" + runtime.GOOS + "-" + runtime.GOARCH} {
			for _, v := range Supported() {
				native := filepath.Join(root, "test", "postgres", "node_modules", "pg"+strconv.Itoa(v)+platform, "native")
				linkLibraries(native)
				add(filepath.Join(native, "bin"))
			}
		}
	}
	for _, v := range Supported() {
		add(debian(v))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(path))
		}
	}
	return found
})

func find(version int) (install, error) {
	found := installs()
	if version == 0 {
		if s := os.Getenv("CDC_TEST_PG_VERSION"); s != "" {
			v, err := strconv.Atoi(s)
			if err != nil {
				return install{}, fmt.Errorf("CDC_TEST_PG_VERSION: %w", err)
			}
			version = v
		} else if all := Versions(); len(all) > 0 {
			version = all[len(all)-1]
		}
	}
	if in, ok := found[version]; ok {
		return in, nil
	}
	return install{}, fmt.Errorf("postgres %d: %w", version, ErrNotInstalled)
}

var majorVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorOf asks the server in bin for its version.
func majorOf(bin string) (int, error) {
	if bin == "" {
		return 0, ErrNotInstalled
	}
	for _, name := range []string{"initdb", "pg_ctl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return 0, err
		}
	}
	out, err := exec.CommandContext(context.Background(), filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0, err
	}
	m := majorVersion.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("not a version: %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

func debian(version int) string { return "/usr/lib/postgresql/" + strconv.Itoa(version) + "/bin" }

// moduleRoot is the nearest folder above the working directory that has the servers' package, "" when there is none. Not
// the nearest go.mod: there are modules below test.
func moduleRoot() string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test", "postgres", "package.json")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// linkLibraries makes the symbolic links that an npm package cannot hold. Its postinstall script makes them too, but
// npm may be told not to run scripts. Best effort: without them, majorOf fails.
func linkLibraries(native string) {
	list, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		return
	}
	var links []struct{ Source, Target string } // relative to the package, e.g. native/lib/libpq.so.5.17
	if json.Unmarshal(list, &links) != nil {
		return
	}
	for _, l := range links {
		target := filepath.Join(filepath.Dir(native), l.Target)
		if _, err := os.Lstat(target); err == nil {
			continue
		}
		if source, err := filepath.Rel(filepath.Dir(l.Target), l.Source); err == nil {
			_ = os.Symlink(source, target)
		}
	}
}
