package gpu

import "slices"

// Class is the consequence of an error for the processes on the GPU.
type Class string

// The classes.
const (
	ClassUnknown      Class = "unknown"        // see the kernel log
	ClassInformation  Class = "information"    // no action needed
	ClassApplication  Class = "application"    // restart the process
	ClassReset        Class = "reset"          // the GPU must be reset before further use
	ClassOutOfService Class = "out of service" // the GPU is out of service until an operator intervenes
)

// xids lists NVIDIA's error numbers by class. Source: NVIDIA, "Xid Errors", Analyzing Xid Errors with the Xid Catalog,
// column "Resolution Bucket (Immediate Action)": RESTART_APP is application, IGNORE information, RESET_GPU reset,
// RESTART_BM (restart the bare machine) out of service. Deviations are explained.
var xids = map[Class][]int{
	ClassApplication: {
		8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80, 82, 83, 84, 85, 86, 88, 89,
		94,                                                // contained memory error: only the process that hit it is lost
		96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 139, //
		126, 127, 128, 129, 130, 131, 132, 133, 134, 135, //
		43,  // IGNORE, since the GPU is healthy; the process that caused it is gone
		45,  // process cleanup, possibly after another error, which is then decisive
		109, // RESET_GPU; usually an endless kernel; on newer drivers the recovery action decides
	},
	ClassInformation: {14, 37, 38, 44, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 157, 160, 161},
	ClassReset: {
		46, 62, 64, 110, 136, 140, 143, 155, 156, 158,
		48, // double-bit ECC error: the catalog's workflow without a recovery action ends in a reset
		74, // NVLink error: cleared by a reset
	},
	ClassOutOfService: {
		79,           // fell off the bus
		95, 119, 120, // RESET_GPU, but afterwards driver calls and removing containers tend to hang
	},
}

// tableClass returns the class of an XID by the table alone.
func tableClass(xid int) Class {
	for class, numbers := range xids {
		if slices.Contains(numbers, xid) {
			return class
		}
	}
	return ClassUnknown
}

// classify combines the table's class with the driver's recovery action, which takes precedence. The action "none" lowers a
// class that requires repair, but does not raise ClassInformation.
func classify(class Class, action *RecoveryAction) (combined Class, byDriver bool) {
	if action == nil || *action == RecoveryNone && class == ClassInformation {
		return class, false
	}
	if known, ok := recoveryActions[*action]; ok {
		return known.class, true
	}
	return class, false
}
