package docker

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxEntries bounds how many entries of a models folder are checked.
const maxEntries = 10000

// checkModels checks that a container's user can read a models folder. Parent folders do not matter, since only the folder is
// mounted. It ignores ACLs and user namespaces (see checkRootless).
func checkModels(dir string, uid, gid int) Check {
	const name = "models folder"
	if stat, err := os.Stat(dir); err != nil || !stat.IsDir() {
		return bad(name, "set models_dir to a folder with one subfolder per model", "%s is not an accessible folder", dir)
	}
	var unreadable []string
	seen := 0
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if seen++; seen > maxEntries || len(unreadable) == 3 {
			return fs.SkipAll
		}
		if err != nil || !readable(path, uid, gid) {
			unreadable = append(unreadable, path)
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		}
		return nil // unreadable entries are collected, so the walk itself never fails
	})
	if len(unreadable) > 0 {
		return bad(name, fmt.Sprintf("chmod -R a+rX %s, or chown it to %d:%d", dir, uid, gid), "user %d:%d cannot read %v", uid, gid, unreadable)
	}
	return ok(name, "%s is readable by %d:%d", dir, uid, gid)
}

// checkSecret checks that a container's user can read a secret.
func checkSecret(name, path string, uid, gid int) Check {
	what := "secret " + name
	stat, err := os.Stat(path)
	switch {
	case err != nil || !stat.Mode().IsRegular():
		return bad(what, "set secret_files."+name+" to a file", "%s is not an accessible file", path)
	case !readable(path, uid, gid):
		return bad(what, fmt.Sprintf("chown %d:%d %s and chmod 0400 it", uid, gid, path), "user %d:%d cannot read %s", uid, gid, path)
	}
	return ok(what, "%s is readable by %d:%d", path, uid, gid)
}

// readable evaluates the permission bits as the kernel does for a user without capabilities: the owner's, the group's or the
// others'. Links are followed.
func readable(path string, uid, gid int) bool {
	stat, err := os.Stat(path)
	if err != nil {
		return false
	}
	system, ok := stat.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	need := fs.FileMode(0o4)
	if stat.IsDir() {
		need = 0o5
	}
	switch mode := stat.Mode().Perm(); {
	case int(system.Uid) == uid:
		return mode>>6&need == need
	case int(system.Gid) == gid:
		return mode>>3&need == need
	default:
		return mode&need == need
	}
}

// checkPort checks that a port on 127.0.0.1 is free; 0 always is.
func checkPort(port int) Check {
	name := fmt.Sprintf("port %d on %s", port, loopback)
	if port == 0 {
		return ok("port on "+loopback, "chosen by the Docker engine")
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return bad(name, "stop what listens there (ss -ltnp), or choose another port", "%v", err)
	}
	_ = listener.Close() // nothing was written
	return ok(name, "free")
}
