// Tars written block by block, so that any field can be wrong. Checks nothing.

export interface RawMember {
  readonly name: string
  /** ustar's type flag; default `0`, a file. */
  readonly flag?: string
  readonly body?: string | Buffer
  readonly linkName?: string
  readonly mode?: number
  /** What the size field says; default the body's length. */
  readonly size?: string
  /** Bytes of the name, when it is no text. */
  readonly nameBytes?: Buffer
}

/** Header, body and padding of a member. */
export function rawMember(member: RawMember): Buffer {
  const body = Buffer.from(member.body ?? '')
  const header = Buffer.alloc(512)
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0')
  const nameBytes = member.nameBytes ?? Buffer.from(member.name)
  nameBytes.copy(header, 0, 0, 100)
  header.write(`${octal(member.mode ?? 0o644, 7)}\0`, 100, 'latin1')
  header.write(`${octal(0, 7)}\0${octal(0, 7)}\0`, 108, 'latin1')
  header.write(member.size ?? `${octal(body.length, 11)} `, 124, 12, 'latin1')
  header.write(`${octal(0, 11)} `, 136, 'latin1')
  header.write(member.flag ?? '0', 156, 1, 'latin1')
  Buffer.from(member.linkName ?? '').copy(header, 157, 0, 100)
  header.write('ustar\x0000', 257, 'latin1')
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${octal(sum, 6)}\0 `, 148, 'latin1')
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)])
}

/** A pax header for the next member, or with `g` for all that follow. */
export function rawPax(fields: Readonly<Record<string, string>>, flag: 'x' | 'g' = 'x'): Buffer {
  const records = Object.entries(fields).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`
    let length = Buffer.byteLength(rest)
    while (String(length).length + Buffer.byteLength(rest) !== length)
      length = String(length).length + Buffer.byteLength(rest)
    return `${length}${rest}`
  })
  return rawMember({ name: 'pax', flag, body: records.join('') })
}

/** GNU's long name (`L`) or long link name (`K`) for the next member. */
export function rawLong(text: string, flag: 'L' | 'K' = 'L'): Buffer {
  return rawMember({ name: '././@LongLink', flag, body: `${text}\0` })
}

export const TAR_END = Buffer.alloc(1024)
