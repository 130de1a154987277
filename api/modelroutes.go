package api

import (
	"net/http"
	"slices"

	"fovea/inference"
	"fovea/internal/httpserver"
	"fovea/internal/repository"

	"github.com/gin-gonic/gin"
)

// modelList is the body of GET /v1/models.
type modelList struct {
	Default string      `json:"default"` // "" with none, or several of which none is configured
	Models  []modelInfo `json:"models"`
}

// modelInfo is one model, and the body of GET /v1/models/{model}.
type modelInfo struct {
	Name     string `json:"name"`
	Default  bool   `json:"default"`
	Required bool   `json:"required"`
	// Unreadable says why the model cannot be read from the repository now.
	Unreadable string          `json:"unreadable,omitempty"`
	State      string          `json:"state"` // ready if any version is, else that of the last
	Task       repository.Task `json:"task"`
	Labels     []string        `json:"labels,omitempty"` // only for one model: there may be thousands
	// Definition is file or inferred; "" while no version could be tried, and if one cannot be inferred.
	Definition  string        `json:"definition"`
	Exporter    string        `json:"exporter,omitempty"`
	Assumptions []assumption  `json:"assumptions"`
	Defaults    *defaults     `json:"defaults,omitempty"` // nil: unknown
	Steps       []stepInfo    `json:"steps,omitempty"`    // of a pipeline
	Versions    []versionInfo `json:"versions"`
}

// defaults are the values of the parameters that requests may set, where they set none. Those that the task does not have are absent.
type defaults struct {
	TopK            int              `json:"top_k,omitempty"`
	Score           *float64         `json:"score_threshold,omitempty"`
	IoU             *float64         `json:"iou_threshold,omitempty"` // absent also without suppression
	MaxBoxes        int              `json:"max_boxes,omitempty"`
	ClassThresholds []classThreshold `json:"class_thresholds,omitempty"` // of classes with another threshold
}

// classThreshold is the default threshold of one class.
type classThreshold struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// stepInfo is a step of a pipeline.
type stepInfo struct {
	Name  string `json:"name"`
	Model string `json:"model"`
	Of    string `json:"of,omitempty"` // the step whose objects it sees; "" is the whole image
}

// assumption is a value of an inferred definition that nothing in the files says.
type assumption struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// versionInfo is one version of a model. What is in the ONNX file is known once it has been read.
type versionInfo struct {
	Version    string       `json:"version"` // "" if there was none to load
	State      string       `json:"state"`
	Error      string       `json:"error,omitempty"`
	Reason     string       `json:"reason,omitempty"` // why it is unloaded
	Device     string       `json:"device"`
	PartlyCPU  bool         `json:"partly_cpu"`         // parts of it run on the CPU although the device is a GPU
	Warnings   []string     `json:"warnings,omitempty"` // likely mistakes in its definition
	Image      imageInfo    `json:"image"`
	Inputs     []tensorInfo `json:"inputs"`
	Outputs    []tensorInfo `json:"outputs"`
	MaxBatch   int          `json:"max_batch"`
	QueueDepth int          `json:"queue_depth"`
	QueueLimit int          `json:"queue_limit"`
	Memory     int64        `json:"memory_bytes"`   // of weights and batches, on all devices
	Gate       *gateInfo    `json:"gate,omitempty"` // how it did on held-out images, with versions.gate
}

// gateInfo is how a version did on the images of its gate.
type gateInfo struct {
	Passed         bool     `json:"passed"`
	Reason         string   `json:"reason,omitempty"`  // why it did not pass
	Images         int      `json:"images"`            // that were compared
	Against        string   `json:"against,omitempty"` // the version that was served
	Accuracy       *float64 `json:"accuracy,omitempty"`
	ServedAccuracy *float64 `json:"served_accuracy,omitempty"`
	Agreement      *float64 `json:"agreement,omitempty"`
}

// imageInfo describes the input that an image is transformed to.
type imageInfo struct {
	Width  int               `json:"width"`
	Height int               `json:"height"`
	Resize repository.Resize `json:"resize"`
	Color  string            `json:"color"`
	Layout string            `json:"layout"`
	DType  repository.DType  `json:"dtype"`
	Scale  float64           `json:"scale,omitempty"` // a channel's value v becomes (v · scale − mean) ÷ std
	Mean   []float64         `json:"mean,omitempty"`
	Std    []float64         `json:"std,omitempty"`
}

type tensorInfo struct {
	Name  string           `json:"name"`
	DType repository.DType `json:"dtype"`
	Shape []int64          `json:"shape"` // with the batch dimension; -1 is any size
}

func (s *Server) listModels(c *gin.Context, rc *requestContext) {
	list := modelList{Default: s.engine.Default(), Models: describe(s.engine.Models())}
	list.Models = slices.DeleteFunc(list.Models, func(m modelInfo) bool { return rc.client.MayUse(m.Name) != nil })
	if rc.client.MayUse(list.Default) != nil {
		list.Default = ""
	}
	for i := range list.Models {
		list.Models[i].Labels = nil
	}
	httpserver.WriteJSON(c.Writer, http.StatusOK, list)
}

func (s *Server) showModel(c *gin.Context, rc *requestContext) {
	name := c.Param("model")
	if err := rc.client.MayUse(name); err != nil {
		s.fail(c, rc, err)
		return
	}
	for _, m := range describe(s.engine.Models()) {
		if m.Name == name {
			httpserver.WriteJSON(c.Writer, http.StatusOK, m)
			return
		}
	}
	s.fail(c, rc, s.modelNotFound(rc, name))
}

// describe groups the versions by model, in the engine's order.
func describe(statuses []inference.Status) []modelInfo {
	list := []modelInfo{}
	for _, v := range statuses {
		if n := len(list); n == 0 || list[n-1].Name != v.Name {
			list = append(list, modelInfo{Name: v.Name, Default: v.Default, Required: v.Required, Unreadable: v.Unreadable,
				Assumptions: []assumption{}})
		}
		m := &list[len(list)-1]
		m.Versions = append(m.Versions, describeVersion(v))
		if m.State != inference.Ready.String() {
			m.State = v.State.String()
		}
		if v.Task != "" {
			m.Task, m.Labels = v.Task, v.Labels
			m.Steps = nil
			for _, step := range v.Steps {
				m.Steps = append(m.Steps, stepInfo{step.Name, step.Model, step.Of})
			}
			m.describeDefinition(v.Inferred)
			m.Defaults = describeDefaults(v.Task, &v.Output)
			if v.Undefined {
				m.Definition = ""
			}
		}
	}
	return list
}

// describeDefinition says where the definition comes from; inferred is nil for that of a model.yaml.
func (m *modelInfo) describeDefinition(inferred *repository.Inferred) {
	m.Definition, m.Exporter, m.Assumptions = "file", "", []assumption{}
	if inferred == nil {
		return
	}
	m.Definition, m.Exporter = "inferred", inferred.Exporter
	for _, o := range inferred.Assumptions() {
		m.Assumptions = append(m.Assumptions, assumption{o.Key, o.Value, o.From})
	}
}

func describeDefaults(task repository.Task, o *repository.Output) *defaults {
	d := &defaults{}
	switch {
	case task == repository.Classification:
		d.TopK = o.TopK
	case task == repository.Anomaly:
		d.Score = &o.Score
	case task.HasObjects():
		d.Score, d.MaxBoxes = &o.Score, o.MaxBoxes
		if o.Suppresses() {
			d.IoU = &o.IoU
		}
		for _, c := range o.ClassThresholds {
			d.ClassThresholds = append(d.ClassThresholds, classThreshold(c))
		}
	default:
		return nil
	}
	return d
}

func describeVersion(v inference.Status) versionInfo {
	in := v.Input.Packed() // what a tensor for it is
	return versionInfo{
		Version: v.Version, State: v.State.String(), Error: v.Error, Reason: v.Reason, Memory: v.Memory, Device: v.Device, PartlyCPU: v.PartlyCPU, Warnings: v.Warnings,
		Image:  imageInfo{in.Width, in.Height, in.Resize, in.Color, in.Layout, in.DType, in.Scale, in.Mean, in.Std},
		Inputs: describeTensors(v.Inputs), Outputs: describeTensors(v.Outputs),
		MaxBatch: v.MaxBatch, QueueDepth: v.Queue, QueueLimit: v.MaxQueue, Gate: describeGate(v.Gate),
	}
}

func describeGate(r *inference.GateResult) *gateInfo {
	if r == nil {
		return nil
	}
	return &gateInfo{r.Reason == "", r.Reason, r.Images, r.Against, r.Accuracy, r.ServedAccuracy, r.Agreement}
}

func describeTensors(tensors []repository.TensorInfo) []tensorInfo {
	list := make([]tensorInfo, len(tensors))
	for i, t := range tensors {
		list[i] = tensorInfo(t)
	}
	return list
}
