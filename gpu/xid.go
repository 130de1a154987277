package gpu

// Class says what an error means for whoever runs on the GPU.
type Class int

// The classes.
const (
	ClassUnknown     Class = iota // nothing is known of it: look at the kernel log
	ClassInformation              // nothing need be done
	ClassApplication              // the process's own fault, or one that ends with it: start the process anew
	ClassReset                    // no process does well on this GPU before it is reset
	ClassOut                      // the GPU is out: only the machine's keeper can bring it back
)

var classNames = [...]string{"unknown", "information", "application", "reset", "out"}

// String names the class, in lower case.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "invalid"
	}
	return classNames[c]
}

// xids lists NVIDIA's error numbers by class. Source: NVIDIA, "Xid Errors", Analyzing Xid Errors with the Xid Catalog,
// column "Resolution Bucket (Immediate Action)": RESTART_APP is application, IGNORE information, RESET_GPU reset,
// RESTART_BM (restart the bare machine) out. Where Fovea departs from it, the entry says why.
var xids = map[Class][]int{
	ClassApplication: {
		8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80, 82, 83, 84, 85, 86, 88, 89,
		94,                                                // contained memory error: only the process that met it is lost
		96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 139, //
		126, 127, 128, 129, 130, 131, 132, 133, 134, 135, //
		43,  // IGNORE, since the GPU is well; the process that caused it is gone
		45,  // follows when a process is torn down, by itself or after another error, which decides then
		109, // RESET_GPU; a kernel that does not end is the usual cause, and newer drivers' recovery action decides
	},
	ClassInformation: {14, 37, 38, 44, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152, 153, 157, 160, 161},
	ClassReset: {
		46, 62, 64, 110, 136, 140, 143, 155, 156, 158,
		48, // double bit ECC error: the catalogue's workflow, where the driver gives no action, ends in a reset
		74, // NVLink error: a reset is needed to clear it
	},
	ClassOut: {
		79,           // fell off the bus
		95, 119, 120, // RESET_GPU, yet calls into the driver and removing containers tend to hang from here on
	},
}

// xidClass is xids by number.
var xidClass = func() map[int]Class {
	classes := map[int]Class{}
	for class, numbers := range xids {
		for _, number := range numbers {
			classes[number] = class
		}
	}
	return classes
}()

// Classify says what an XID means by the table alone.
func Classify(xid int) Class { return xidClass[xid] }

// class says what an action means: it tells what the GPU needs, whatever the XID said.
func (a RecoveryAction) class() Class {
	switch a {
	case RecoveryNone:
		return ClassApplication
	case RecoveryReset, RecoveryDrainAndReset, RecoveryBusReset, RecoveryDrainP2P, RecoveryRecoverIMEXDomain:
		return ClassReset
	case RecoveryNodeReboot, RecoverySystemReboot:
		return ClassOut
	}
	return ClassUnknown
}

// judge weighs the table's class against the driver's recovery action, which wins. An action "none" lowers a class that
// asks for repair, but makes no process's fault of what is mere information.
func judge(table Class, action *RecoveryAction) (class Class, byDriver bool) {
	if action == nil || action.class() == ClassUnknown {
		return table, false
	}
	if *action == RecoveryNone && table == ClassInformation {
		return table, false
	}
	return action.class(), true
}
