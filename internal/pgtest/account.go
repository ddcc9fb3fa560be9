package pgtest

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is whom the server runs as: ourselves, or nobody when we are root.
type account struct {
	other    bool // than ourselves
	uid, gid uint32
}

func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return account{}, fmt.Errorf("postgres refuses to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user id of nobody: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("group id of nobody: %w", err)
	}
	return account{other: true, uid: uint32(uid), gid: uint32(gid)}, nil
}

func (a account) attr() *syscall.SysProcAttr {
	if !a.other {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// give makes a folder the account's own.
func (a account) give(dir string) error {
	if !a.other {
		return nil
	}
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to user %d: %w", dir, a.uid, err)
	}
	return nil
}

// reachable returns a folder of programs that the account can run: bin itself, or a copy of the installation below
// home when bin lies in a folder closed to others, as a checkout in root's home does.
func (a account) reachable(bin, home string) (string, error) {
	if !a.other || open(bin) {
		return bin, nil
	}
	to := filepath.Join(home, "native")
	if err := os.CopyFS(to, os.DirFS(filepath.Dir(bin))); err != nil {
		return "", fmt.Errorf("copy postgres to where user %d may run it: %w", a.uid, err)
	}
	err := filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid)) // so that the watcher may remove it
	})
	if err != nil {
		return "", fmt.Errorf("copy postgres to where user %d may run it: %w", a.uid, err)
	}
	return filepath.Join(to, filepath.Base(bin)), nil
}

// open reports whether everybody may pass through all folders down to dir.
func open(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		st, err := os.Stat(dir)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// freePort picks a port below the range that the system gives to outgoing connections, so that a stopped cluster
// finds its port again.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	for range 100 {
		port := 15000 + rand.IntN(17000)
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: none in 100 tries")
}
