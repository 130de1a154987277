package gpu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"fovea/gpu/simnvml"
)

func TestOpenErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status nvml.Return
		want   error
		text   string
	}{
		"no library":                 {nvml.ERROR_LIBRARY_NOT_FOUND, ErrNoLibrary, "no NVML library"},
		"driver not loaded":          {nvml.ERROR_DRIVER_NOT_LOADED, ErrNoDriver, "the driver is not loaded"},
		"no permission":              {nvml.ERROR_NO_PERMISSION, ErrNoDriver, "no permission"},
		"library of another version": {nvml.ERROR_LIB_RM_VERSION_MISMATCH, nil, "reload the driver or reboot"},
		"an unknown status":          {nvml.Return(4711), nil, "NVML status 4711"},
		"an unspecific error":        {nvml.ERROR_UNKNOWN, nil, "unknown error (NVML status 999)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := simnvml.New(t, simnvml.Machine(1))
			library := simnvml.Library(t)
			if c.status == nvml.ERROR_LIBRARY_NOT_FOUND {
				library = filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
			}
			f.Set("init.error", fmt.Sprint(int(c.status)))
			n, err := Open(library)
			if err == nil {
				_ = n.Close()
				t.Fatal("opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q does not say %q", err, c.text)
			}
		})
	}
}

func TestOpenAgain(t *testing.T) {
	simnvml.New(t, simnvml.Machine(1))
	library := simnvml.Library(t)
	for range 3 { // The functions stay bound to the library over a shutdown.
		first, err := Open(library)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Open(library)
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Error("two Opens of one library do not share it")
		}
		if _, err := Open("/elsewhere/libnvidia-ml.so.1"); err == nil || !strings.Contains(err.Error(), "already open") {
			t.Errorf("another library while one is open: %v", err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if got := inventory(t, second); len(got.Devices) != 1 {
			t.Errorf("%d devices after one of two Closes", len(got.Devices))
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		if err := second.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("a third Close of two Opens: %v", err)
		}
		if _, err := second.Inventory(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("use after the last Close: %v", err)
		}
		for e := range second.Watch(context.Background()) {
			t.Errorf("event after the last Close: %+v", e)
		}
	}
}

func TestOpenOfAHungDriver(t *testing.T) {
	values := simnvml.Machine(1)
	values["hang"] = "600"
	f := simnvml.New(t, values)
	start := newExecutor("NVML")
	n := newNVML(nvml.New(nvml.WithLibraryPath(simnvml.Library(t))))
	n.initTimeout = 50 * time.Millisecond
	for range 20 {
		if err := n.initialize(start); !errors.Is(err, ErrUnresponsive) {
			t.Fatalf("error %v, want %v", err, ErrUnresponsive)
		}
	}
	f.Delete("hang")
	n.initTimeout = testTimeout
	eventually(t, "the driver answers", func() bool { return n.initialize(start) == nil })
	for n.api.Shutdown() == nvml.SUCCESS {
		// The abandoned initialization ended well, too.
	}
}

// An NVML of driver 418's time lacks functions; calling one would end the process, hence the child.
func TestOldLibrary(t *testing.T) {
	library := simnvml.Library(t, "-DFOVEA_SIMNVML_OLD")
	values := simnvml.Machine(1)
	values["driver"], values["cuda"] = "418.226.00", "10010"
	f := simnvml.New(t, values)
	out, err := child(library, f).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "418.226.00 10.1 " + simnvml.UUID(0) + " used 1073741824 recovery <nil> mig false err <nil>"
	if !strings.Contains(string(out), want) {
		t.Errorf("child says %q, want %q", out, want)
	}
}

func child(library string, f *simnvml.File, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FOVEA_GPU_TEST_CHILD="+library, "FOVEA_SIMNVML_FILE="+f.Path())
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func runChild(library string) int {
	n, err := Open(library)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer n.Close()
	inventory, err := n.Inventory(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, d := range inventory.Devices {
		fmt.Println(inventory.Driver.Version, inventory.Driver.CUDA, d.UUID, "used", d.Memory.Used, "recovery", d.Recovery,
			"mig", d.MIG, "err", d.Err)
	}
	return 0
}

func TestContainerSeesItsOwnGPUs(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(3))
	library := simnvml.Library(t)
	for name, c := range map[string]struct {
		env  []string
		want []int
	}{
		"all":                 {[]string{"NVIDIA_VISIBLE_DEVICES=all"}, []int{0, 1, 2}},
		"one by its UUID":     {[]string{"NVIDIA_VISIBLE_DEVICES=" + simnvml.UUID(2)}, []int{2}},
		"two by their number": {[]string{"NVIDIA_VISIBLE_DEVICES=0,2"}, []int{0, 2}},
		"none":                {[]string{"NVIDIA_VISIBLE_DEVICES=none"}, nil},
		"one by CDI":          {[]string{"NVIDIA_VISIBLE_DEVICES=void", "GPU_SIM_VISIBLE_1=" + simnvml.UUID(1)}, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := child(library, f, c.env...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := strings.Count(string(out), "\n"); got != len(c.want) {
				t.Errorf("%d GPUs, want %d:\n%s", got, len(c.want), out)
			}
			for _, i := range c.want {
				if !strings.Contains(string(out), simnvml.UUID(i)) {
					t.Errorf("GPU %d is missing:\n%s", i, out)
				}
			}
		})
	}
}

func merged(values ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, v := range values {
		maps.Copy(all, v)
	}
	return all
}
