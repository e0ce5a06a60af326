// Starting a program in place of this process: same pid, same parent, same streams; all else is the new program's.
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const call = {
  execve: libc.func('int execve(const char *path, const char **argv, const char **envp)'),
  fcntl: libc.func('int fcntl(int fd, int command, long argument)'),
}
const F_SETFD = 2

/** execve(2), by whatever thread: the kernel ends all others first, also one that sleeps for a signal to wake. Descriptors but the
 *  standard three are closed. Returns errno, and only when it failed. */
export function replaceProcess(path: string, args: readonly string[], env: Readonly<Record<string, string>>): number {
  // Node marks them to be closed for its children; the program that takes its place needs them.
  for (const fd of [0, 1, 2]) call.fcntl(fd, F_SETFD, 0)
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  call.execve(path, [...args, null], [...variables, null])
  return koffi.errno()
}
