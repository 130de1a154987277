#include <errno.h>
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "child.h"

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define RESULT(action) BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSE(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RESULT(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RESULT(SECCOMP_RET_ALLOW)

// fovea_sandbox does nothing where the kernel has no seccomp filters: the memory and time limits hold everywhere.
void fovea_sandbox(void) {
#ifdef THIS_ARCHITECTURE
  struct sock_filter rules[] = {
      FIELD(arch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0),
      RESULT(SECCOMP_RET_KILL_PROCESS),
      FIELD(nr),
      ALLOW(read),
      ALLOW(write),
      ALLOW(exit),
      ALLOW(exit_group),
      ALLOW(brk),
      ALLOW(mmap),
      ALLOW(munmap),
      ALLOW(mremap),
      ALLOW(mprotect),
      ALLOW(madvise),
      ALLOW(futex),
      ALLOW(getrandom),
      ALLOW(clock_gettime),
      ALLOW(rt_sigreturn),
      ALLOW(rt_sigprocmask),
      ALLOW(restart_syscall),
      // printf()
      REFUSE(fstat),
      REFUSE(newfstatat),
      REFUSE(ioctl),
      // abort()
      ALLOW(getpid),
      ALLOW(gettid),
      ALLOW(tgkill),
      RESULT(SECCOMP_RET_KILL_PROCESS),
  };
  const struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  }
#endif
}
