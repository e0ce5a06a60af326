// How named texts look as one file: {"epoch": …, "log": first log that belongs to it, "documents": {key: text}}. Pure.
import type { TextMapForm } from '../../runtime/api.ts'

/** `unreadable` is called for a damaged file, which then counts as none. */
export function documentsForm(unreadable: (error: Error) => void): TextMapForm {
  return {
    parse(text) {
      try {
        const { epoch, log, documents } = JSON.parse(text) as {
          epoch: number
          log?: number
          documents: Record<string, string>
        }
        return { epoch, texts: new Map(Object.entries(documents)), firstLog: log ?? null }
      } catch (error) {
        unreadable(error as Error)
        return { epoch: 0, texts: new Map(), firstLog: null }
      }
    },
    *render(epoch, firstLog, texts) {
      let separator = ''
      yield `{"epoch":${epoch},"log":${firstLog},"documents":{`
      for (const [key, text] of texts) {
        yield `${separator}${JSON.stringify(key)}:${JSON.stringify(text)}`
        separator = ','
      }
      yield '}}'
    },
  }
}
