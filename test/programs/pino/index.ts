import pino from 'pino'

// Its transport is a module that a worker thread loads.
const logger = pino({ transport: { target: 'pino/file', options: { destination: 1 } } })
export default () => {
  logger.info('written by a transport')
  return new Response('ok')
}
