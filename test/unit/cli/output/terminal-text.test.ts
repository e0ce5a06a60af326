import { describe, expect, test } from 'vitest'
import { terminalText, textFor } from '../../../../cli/output/terminal-text.ts'

describe('text for a terminal', () => {
  test.each([
    ['sets a title', '\u001b]0;owned\u0007', '\\u001b]0;owned\\u0007'],
    ['clears the screen', '\u001b[2J\u001b[H', '\\u001b[2J\\u001b[H'],
    ['writes to the clipboard', '\u001b]52;c;cm0=\u0007', '\\u001b]52;c;cm0=\\u0007'],
    ['asks the terminal to answer', '\u001b[6n\u001bZ', '\\u001b[6n\\u001bZ'],
    ['hides what follows', '\u001b[8mhidden', '\\u001b[8mhidden'],
    ['hides behind a colour', '\u001b[31;8mhidden', '\\u001b[31;8mhidden'],
    ['uses the eight-bit form', '\u009b2J', '\\u009b2J'],
    ['overwrites its line', 'good\rbad \b\b', 'good\\u000dbad \\u0008\\u0008'],
    ['turns around', 'a\u202eb\u2066c', 'a\\u202eb\\u2066c'],
    ['holds NUL and DEL', 'a\0b\u007f', 'a\\u0000b\\u007f'],
  ])('shows what %s', (_what, text, shown) => expect(terminalText(text)).toBe(shown))

  test('keeps lines, tabs, letters of all kinds and Windows line ends', () => {
    expect(terminalText('a\tb\nß 中 👋\r\nc\r')).toBe('a\tb\nß 中 👋\nc')
  })

  test('keeps colours, and ends them', () => {
    expect(terminalText('\u001b[31mred\u001b[39m')).toBe('\u001b[31mred\u001b[39m')
    expect(terminalText('\u001b[1;31mred')).toBe('\u001b[1;31mred\u001b[0m')
  })

  test('is the text itself where no terminal reads it', () => {
    expect(textFor({}, '\u001b[2J')).toBe('\u001b[2J')
    expect(textFor({ isTTY: true }, '\u001b[2J')).toBe('\\u001b[2J')
  })
})
