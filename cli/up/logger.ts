// The platform's own log: JSON lines on stderr by pino. Functions' output never comes here.
import pino from 'pino'
import type { Logger } from '../../runtime/api.ts'
import type { Config } from '../config.ts'

export function createLogger(level: Config['log']): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
    pino.destination({ dest: 2, sync: true }),
  )
}
