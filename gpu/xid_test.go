package gpu

import "testing"

func TestXIDsAreInOneClassEach(t *testing.T) {
	seen := map[int]Class{}
	for class, numbers := range xids {
		for _, number := range numbers {
			if other, ok := seen[number]; ok {
				t.Errorf("XID %d is %s and %s", number, other, class)
			}
			seen[number] = class
		}
	}
}

func TestClassify(t *testing.T) {
	for class, numbers := range map[Class][]int{
		ClassApplication:  {13, 31, 43, 45, 68, 94, 109},
		ClassOutOfService: {79, 95, 119, 120},
		ClassReset:        {46, 48, 62, 64, 74, 140, 143},
		ClassInformation:  {63, 92},
		ClassUnknown:      {0, 1, 154, 999},
	} {
		for _, xid := range numbers {
			if got := tableClass(xid); got != class {
				t.Errorf("XID %d is %s, want %s", xid, got, class)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		RecoverySystemReboot.String(): "system reboot", RecoveryAction(8).String(): "action 8",
		RecoveryAction(-1).String(): "action -1", ComputeCapability{9, 0}.String(): "9.0",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
