package gpu

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector exports the GPUs' values to Prometheus. It reads NVML at most once per interval, however often it is scraped. A
// read takes at most NVML's timeout; a GPU that does not respond has fovea_gpu_up 0 and no other values. It runs no goroutine.
type Collector struct {
	n        *NVML
	interval time.Duration

	mu     sync.Mutex
	sample Inventory
	err    error
	taken  time.Time
}

// NewCollector returns a collector that reads n at most once per interval.
func NewCollector(n *NVML, interval time.Duration) *Collector {
	return &Collector{n: n, interval: interval}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fovea_gpu_"+name, help, append([]string{"uuid"}, labels...), nil)
}

var (
	upDesc          = desc("up", "1 when the GPU responds and takes work, else 0.")
	infoDesc        = desc("info", "Always 1; the labels describe the GPU.", "index", "name", "pci_bus_id", "driver", "cuda")
	utilizationDesc = desc("utilization_ratio", "Share of the last sample period in which the GPU ran a kernel.")
	memoryUsedDesc  = desc("memory_used_bytes", "Memory in use by all processes.")
	memoryTotalDesc = desc("memory_total_bytes", "Memory of the GPU.")
	powerDesc       = desc("power_watts", "Power that the GPU draws.")
	temperatureDesc = desc("temperature_celsius", "Temperature of the GPU die.")
	eccDesc         = desc("ecc_uncorrected_errors_total", "Uncorrected memory errors: volatile, since the driver was "+
		"loaded; aggregate, over the GPU's life.", "counter")
	recoveryDesc = desc("recovery_action", "Recovery action that the driver requests: 0 none, 1 reset, 2 node reboot, "+
		"3 drain peer-to-peer, 4 drain and reset, 5 recover IMEX domain, 6 bus reset, 7 system reboot.")
	// the only metric without a GPU
	driverUpDesc = prometheus.NewDesc("fovea_gpu_driver_up", "1 when the NVIDIA driver responds, else 0.", nil, nil)
)

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		driverUpDesc, upDesc, infoDesc, utilizationDesc, memoryUsedDesc, memoryTotalDesc, powerDesc, temperatureDesc,
		eccDesc, recoveryDesc,
	} {
		out <- d
	}
}

// Collect sends the values of the last sample, after taking one if it is older than the interval.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	inventory, err := c.read()
	if err != nil {
		gauge(out, driverUpDesc, 0)
		return
	}
	gauge(out, driverUpDesc, 1)
	for _, d := range inventory.Devices {
		if d.UUID != "" { // without one it cannot be labeled
			collect(out, inventory.Driver, d)
		}
	}
}

func (c *Collector) read() (Inventory, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken.IsZero() || time.Since(c.taken) >= c.interval {
		ctx, cancel := context.WithTimeout(context.Background(), c.n.timeout)
		defer cancel()
		c.sample, c.err = c.n.Inventory(ctx)
		c.taken = time.Now()
	}
	return c.sample, c.err
}

func gauge(out chan<- prometheus.Metric, desc *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func collect(out chan<- prometheus.Metric, driver Driver, d Device) {
	gauge(out, infoDesc, 1, d.UUID, strconv.Itoa(d.Index), d.Name, d.PCIBusID, driver.Version, driver.CUDA)
	if d.Recovery != nil {
		gauge(out, recoveryDesc, float64(*d.Recovery), d.UUID)
	}
	up := 1.0
	if d.Err != nil {
		up = 0
	}
	gauge(out, upDesc, up, d.UUID)
	if d.Memory != nil {
		gauge(out, memoryUsedDesc, float64(d.Memory.Used), d.UUID)
		gauge(out, memoryTotalDesc, float64(d.Memory.Total), d.UUID)
	}
	for desc, value := range map[*prometheus.Desc]*float64{
		utilizationDesc: d.Utilization, powerDesc: d.PowerWatts, temperatureDesc: d.Temperature,
	} {
		if value != nil {
			gauge(out, desc, *value, d.UUID)
		}
	}
	for counter, value := range map[string]*uint64{"volatile": d.ECCVolatile, "aggregate": d.ECCAggregate} {
		if value != nil {
			out <- prometheus.MustNewConstMetric(eccDesc, prometheus.CounterValue, float64(*value), d.UUID, counter)
		}
	}
}
