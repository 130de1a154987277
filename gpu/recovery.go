package gpu

import (
	"encoding/binary"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// RecoveryAction is what the driver requires before a GPU takes work again. Sources: NVIDIA, "GPU Memory Error
// Management", Error Recovery and Response Flags; the field NVML_FI_DEV_GET_GPU_RECOVERY_ACTION (driver 565 or newer).
type RecoveryAction int

// The actions, with NVML's numbers.
const (
	RecoveryNone              RecoveryAction = iota // start a new process, nothing else
	RecoveryReset                                   // end all its processes and reset the GPU
	RecoveryNodeReboot                              // reboot the operating system
	RecoveryDrainP2P                                // end all peer-to-peer traffic, then ask again
	RecoveryDrainAndReset                           // let running work end, start none, then reset
	RecoveryRecoverIMEXDomain                       // recover the IMEX domain that shares memory between nodes
	RecoveryBusReset                                // reset the GPU through its bus
	RecoverySystemReboot                            // reboot the machine, firmware included
)

var recoveryActions = map[RecoveryAction]struct {
	name  string
	class Class
}{
	RecoveryNone:              {"none", ClassApplication},
	RecoveryReset:             {"reset", ClassReset},
	RecoveryNodeReboot:        {"node reboot", ClassOutOfService},
	RecoveryDrainP2P:          {"drain peer-to-peer", ClassReset},
	RecoveryDrainAndReset:     {"drain and reset", ClassReset},
	RecoveryRecoverIMEXDomain: {"recover IMEX domain", ClassReset},
	RecoveryBusReset:          {"bus reset", ClassReset},
	RecoverySystemReboot:      {"system reboot", ClassOutOfService},
}

// String names the action, in lower case.
func (a RecoveryAction) String() string {
	if known, ok := recoveryActions[a]; ok {
		return known.name
	}
	return fmt.Sprintf("action %d", int(a))
}

// err returns ErrNeedsRepair unless the GPU takes new work, which excludes drain and reset.
func (a *RecoveryAction) err() error {
	if a == nil || *a == RecoveryNone {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNeedsRepair, *a)
}

// readRecovery reads a device's action; nil if the driver or the GPU does not have the field.
func (n *NVML) readRecovery(device nvml.Device) (*RecoveryAction, error) {
	if !n.has["nvmlDeviceGetFieldValues"] {
		return nil, nil
	}
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	err := check(device.GetFieldValues(values))
	if err == nil {
		err = check(nvml.Return(values[0].NvmlReturn))
	}
	switch {
	case fatal(err):
		return nil, err
	case err != nil:
		return nil, nil
	}
	// The value is a C union in the machine's byte order; the field is an unsigned int, which fills its first four bytes.
	action := RecoveryAction(binary.NativeEndian.Uint32(values[0].Value[:4]))
	return &action, nil
}
