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

var recoveryNames = [...]string{
	"none", "reset", "node reboot", "drain peer-to-peer", "drain and reset", "recover IMEX domain", "bus reset",
	"system reboot",
}

// String names the action, in lower case.
func (a RecoveryAction) String() string {
	if a < 0 || int(a) >= len(recoveryNames) {
		return fmt.Sprintf("action %d", int(a))
	}
	return recoveryNames[a]
}

// usable reports whether the GPU takes new work, which excludes drain and reset.
func (a RecoveryAction) usable() bool { return a == RecoveryNone }

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
	if fatal(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	// The value is a C union in the machine's byte order; the field is an unsigned int, which fills its first four bytes.
	action := RecoveryAction(binary.NativeEndian.Uint32(values[0].Value[:4]))
	return &action, nil
}
