package onnx

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"fovea/inference/onnx/internal/sigaction"
)

// A handler in C takes the signal while a session is made, as the CUDA provider does; afterwards the signal must
// reach Go again.
func TestSignalsReachGoAfterNativeCodeReplacedHandlers(t *testing.T) {
	open(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		t.Run(sig.String(), func(t *testing.T) {
			arrived := make(chan os.Signal, 1)
			signal.Notify(arrived, sig)
			defer signal.Stop(arrived)
			changed := sigaction.Preserve(func() {
				s, err := NewSession("testdata/conv.onnx", Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if err := sigaction.Replace(sig); err != nil {
					t.Error(err)
				}
			})
			if changed != 1 {
				t.Errorf("%d handlers were put back, want 1", changed)
			}
			if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			select {
			case <-arrived:
			case <-time.After(10 * time.Second):
				t.Fatal("the signal did not reach Go")
			}
		})
	}
}

func TestPreserveDoesNotWaitForConcurrentCalls(t *testing.T) {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	defer signal.Stop(arrived)
	var changed [2]int
	changed[0] = sigaction.Preserve(func() {
		if err := sigaction.Replace(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		inner := make(chan int)
		go func() { inner <- sigaction.Preserve(func() {}) }()
		changed[1] = <-inner
	})
	if changed != [2]int{0, 1} {
		t.Errorf("%d handlers were put back by the first, %d by the one within", changed[0], changed[1])
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("the signal did not reach Go")
	}
}

func TestUnchangedHandlersStay(t *testing.T) {
	open(t)
	if n := sigaction.Preserve(func() { load(t, "testdata/conv.onnx", Options{}) }); n != 0 {
		t.Errorf("%d handlers were put back after a session on the CPU", n)
	}
}

func TestHandlersAreRestoredAfterAPanic(t *testing.T) {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR2)
	defer signal.Stop(arrived)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		sigaction.Preserve(func() {
			if err := sigaction.Replace(syscall.SIGUSR2); err != nil {
				t.Error(err)
			}
			panic("native code failed")
		})
	}()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("the signal did not reach Go")
	}
}
