//! Which system calls the helper may make once it serves: those it needs, and no others.
//!
//! What is not listed fails with EPERM rather than ending the process: a helper that dies with changes in
//! force is worse than a call that is refused. `tc` inherits the filter, so a policy with `network_rate`
//! lets more through: running a program, and netlink.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::error::Error;

/// Files, sockets that are open, threads, memory, time, signals.
const ALWAYS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older forms of the same, where the architecture has them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// To run `tc`, and what that does.
const FOR_TC: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_chdir,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_execve,
    libc::SYS_getcwd,
    libc::SYS_getegid,
    libc::SYS_getgid,
    libc::SYS_getpgid,
    libc::SYS_getppid,
    libc::SYS_ioctl,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_rt_sigsuspend,
    libc::SYS_set_tid_address,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

#[cfg(target_arch = "x86_64")]
const FOR_TC_OLDER: &[c_long] = &[
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_fork,
    libc::SYS_getpgrp,
    libc::SYS_pipe,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const FOR_TC_OLDER: &[c_long] = &[];

/// The filter, unless this architecture has none.
///
/// # Errors
/// When it cannot be built.
fn program(runs_tc: bool) -> Result<Option<BpfProgram>, Error> {
    let fail = |e: &dyn std::fmt::Display| Error::Privileges {
        step: "seccomp filter",
        cause: e.to_string(),
    };
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(None) };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        [ALWAYS, OLDER].concat().into_iter().map(|call| (call, Vec::new())).collect();
    // How sockets are made not to block.
    let not_to_block = equals(1, libc::FIONBIO).map_err(|e| fail(&e))?;
    rules.insert(libc::SYS_ioctl, vec![not_to_block]);
    if runs_tc {
        rules.extend([FOR_TC, FOR_TC_OLDER].concat().into_iter().map(|call| (call, Vec::new())));
        // No sockets but those of the kernel and of this machine.
        let family =
            |family: i32| equals(0, u64::from(family.unsigned_abs())).map_err(|e| fail(&e));
        rules.insert(libc::SYS_socket, vec![family(libc::AF_NETLINK)?, family(libc::AF_UNIX)?]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch);
    let program = filter.and_then(BpfProgram::try_from).map_err(|e| fail(&e))?;
    Ok(Some(program))
}

/// One argument of a call is `value`.
fn equals(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let length = SeccompCmpArgLen::Dword;
    let is_it = SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value)?;
    SeccompRule::new(vec![is_it])
}

/// Gives up all other system calls, for all threads and all they start. Says whether that is possible here.
///
/// # Errors
/// When the kernel does not take the filter.
pub(crate) fn confine(runs_tc: bool) -> Result<bool, Error> {
    let Some(program) = program(runs_tc)? else { return Ok(false) };
    apply_filter_all_threads(&program)
        .map_err(|e| Error::Privileges { step: "seccomp filter", cause: e.to_string() })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};

    use rustix::net::{AddressFamily, SocketType, socket};

    use super::*;

    /// In a thread of its own: a filter cannot be taken off.
    fn confined<T: Send + 'static>(runs_tc: bool, then: fn() -> T) -> T {
        let confined = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let program = program(runs_tc).unwrap().expect("an architecture with a filter");
            seccompiler::apply_filter(&program).unwrap();
            then()
        };
        std::thread::spawn(confined).join().unwrap()
    }

    #[test]
    fn nothing_is_run_and_no_socket_is_made() {
        let (run, inet, netlink) = confined(false, || {
            (
                std::process::Command::new("/bin/true").status(),
                socket(AddressFamily::INET, SocketType::STREAM, None),
                socket(AddressFamily::NETLINK, SocketType::RAW, None),
            )
        });
        assert_eq!(run.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(inet.unwrap_err(), rustix::io::Errno::PERM);
        assert_eq!(netlink.unwrap_err(), rustix::io::Errno::PERM);
    }

    #[test]
    fn with_tc_programs_are_run_but_nobody_is_called() {
        let (run, inet, netlink) = confined(true, || {
            (
                std::process::Command::new("/bin/sh").args(["-c", "echo x | cat"]).output(),
                socket(AddressFamily::INET, SocketType::STREAM, None),
                socket(AddressFamily::NETLINK, SocketType::RAW, None),
            )
        });
        assert_eq!(run.unwrap().stdout, b"x\n");
        assert_eq!(inet.unwrap_err(), rustix::io::Errno::PERM);
        assert!(netlink.is_ok());
    }

    #[test]
    fn what_the_helper_does_all_day_is_allowed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("old"), "text").unwrap();
        let path = home.path().to_path_buf();
        let worked = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let program = program(false).unwrap().unwrap();
            seccompiler::apply_filter(&program).unwrap();
            let mut file = std::fs::File::create(path.join("new"))?;
            file.write_all(b"x")?;
            file.sync_all()?;
            std::fs::rename(path.join("new"), path.join("newer"))?;
            std::fs::remove_file(path.join("newer"))?;
            std::fs::File::open(&path)?.sync_all()?;
            // As resource groups are made and removed.
            std::fs::create_dir(path.join("group"))?;
            std::fs::remove_dir(path.join("group"))?;
            let dir = std::fs::File::open(&path)?;
            rustix::fs::mkdirat(&dir, "group", rustix::fs::Mode::RWXU)?;
            rustix::fs::unlinkat(&dir, "group", rustix::fs::AtFlags::REMOVEDIR)?;
            let names = std::fs::read_dir(&path)?.count();
            let (here, _there) = std::os::unix::net::UnixStream::pair()?;
            here.set_nonblocking(true)?;
            std::thread::spawn(move || names).join().map_err(|_| std::io::Error::other("thread"))
        });
        assert_eq!(worked.join().unwrap().unwrap(), 1);
    }
}
