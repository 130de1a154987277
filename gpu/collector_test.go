package gpu

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fovea/gpu/simnvml"
)

const metricsOfOne = `
# HELP fovea_gpu_driver_up 1 when the NVIDIA driver responds, else 0.
# TYPE fovea_gpu_driver_up gauge
fovea_gpu_driver_up 1
# HELP fovea_gpu_ecc_uncorrected_errors_total Uncorrected memory errors: volatile, since the driver was loaded; aggregate, over the GPU's life.
# TYPE fovea_gpu_ecc_uncorrected_errors_total counter
fovea_gpu_ecc_uncorrected_errors_total{counter="aggregate",uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 2
fovea_gpu_ecc_uncorrected_errors_total{counter="volatile",uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 0
# HELP fovea_gpu_info Always 1; the labels describe the GPU.
# TYPE fovea_gpu_info gauge
fovea_gpu_info{cuda="13.0",driver="580.95.05",index="0",name="NVIDIA H100 80GB HBM3",pci_bus_id="00000000:18:00.0",uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 1
# HELP fovea_gpu_memory_total_bytes Memory of the GPU.
# TYPE fovea_gpu_memory_total_bytes gauge
fovea_gpu_memory_total_bytes{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 8.5520809984e+10
# HELP fovea_gpu_memory_used_bytes Memory in use by all processes.
# TYPE fovea_gpu_memory_used_bytes gauge
fovea_gpu_memory_used_bytes{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 1.073741824e+09
# HELP fovea_gpu_power_watts Power that the GPU draws.
# TYPE fovea_gpu_power_watts gauge
fovea_gpu_power_watts{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 123.456
# HELP fovea_gpu_recovery_action Recovery action that the driver requests: 0 none, 1 reset, 2 node reboot, 3 drain peer-to-peer, 4 drain and reset, 5 recover IMEX domain, 6 bus reset, 7 system reboot.
# TYPE fovea_gpu_recovery_action gauge
fovea_gpu_recovery_action{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 0
# HELP fovea_gpu_temperature_celsius Temperature of the GPU die.
# TYPE fovea_gpu_temperature_celsius gauge
fovea_gpu_temperature_celsius{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 45
# HELP fovea_gpu_up 1 when the GPU responds and takes work, else 0.
# TYPE fovea_gpu_up gauge
fovea_gpu_up{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 1
# HELP fovea_gpu_utilization_ratio Share of the last sample period in which the GPU ran a kernel.
# TYPE fovea_gpu_utilization_ratio gauge
fovea_gpu_utilization_ratio{uuid="GPU-f0ea0000-0000-4000-8000-000000000000"} 0.37
`

func TestCollector(t *testing.T) {
	n := open(t, simnvml.New(t, simnvml.Machine(1)))
	c := NewCollector(n, 0)
	if err := testutil.CollectAndCompare(c, strings.NewReader(metricsOfOne)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestCollectorOmitsUnknownValues(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, withTimeout(2*time.Second))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(n, 0))
	count := func(name string) int {
		t.Helper()
		got, err := testutil.GatherAndCount(registry, name)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	f.Delete("gpu1.power")
	if got := count("fovea_gpu_power_watts"); got != 1 {
		t.Errorf("power of %d GPUs, want 1", got)
	}
	f.Set("gpu0.lost", "1")
	if up, temperatures := count("fovea_gpu_up"), count("fovea_gpu_temperature_celsius"); up != 2 || temperatures != 1 {
		t.Errorf("one of two GPUs is lost: %d in up, %d temperatures", up, temperatures)
	}
	f.Set("hang", "600")
	want := "# HELP fovea_gpu_driver_up 1 when the NVIDIA driver responds, else 0.\n# TYPE fovea_gpu_driver_up gauge\nfovea_gpu_driver_up 0\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestCollectorReadsOncePerInterval(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f)
	c := NewCollector(n, time.Hour)
	var scrapers sync.WaitGroup
	for range 8 {
		scrapers.Go(func() { testutil.CollectAndCount(c) })
	}
	scrapers.Wait()
	f.Set("gpu0.temperature", "99")
	want := "# HELP fovea_gpu_temperature_celsius Temperature of the GPU die.\n# TYPE fovea_gpu_temperature_celsius gauge\n" +
		"fovea_gpu_temperature_celsius{uuid=\"" + simnvml.UUID(0) + "\"} 45\n"
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "fovea_gpu_temperature_celsius"); err != nil {
		t.Errorf("within the interval: %v", err)
	}
	c.taken = c.taken.Add(-2 * time.Hour)
	want = strings.Replace(want, " 45\n", " 99\n", 1)
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "fovea_gpu_temperature_celsius"); err != nil {
		t.Errorf("after the interval: %v", err)
	}
}
