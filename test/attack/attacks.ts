// What an attack is: a row of docs/security.md. The rows are data, so that the document is checked against what is really tried.

export interface Attack {
  /** Unique; also the row's anchor in failures. */
  readonly id: string
  readonly family: Family
  /** What the code inside, or the caller, tries. */
  readonly tries: string
  /** What stops it, and what comes of it. */
  readonly contained: string
}

export const FAMILIES = {
  files: 'Files, devices, /proc and /sys',
  privilege: 'Privileges, namespaces and mounts',
  kernel: 'The kernel’s other doors',
  processes: 'Processes and what they share',
  sockets: 'Sockets and the platform’s own interface',
  bombs: 'Resource bombs',
  budgets: 'Budgets of the whole machine',
  time: 'Time and signals',
  output: 'Output',
  wire: 'The wire to the platform',
  callers: 'Callers, names and tokens',
  loop: 'The one loop that serves everybody',
  state: 'State between calls and sandboxes',
} as const
export type Family = keyof typeof FAMILIES
