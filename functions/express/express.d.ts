// The few types of Express this example uses: Express ships none of its own. A project of yours would add @types/express.
declare module 'express' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface Request extends IncomingMessage {
    readonly params: Readonly<Record<string, string>>
    readonly query: Readonly<Record<string, unknown>>
    readonly path: string
    readonly body: unknown
  }
  export interface Response extends ServerResponse {
    status(code: number): this
    type(type: string): this
    cookie(name: string, value: string, options?: { httpOnly?: boolean }): this
    json(value: unknown): this
    send(body: string): this
  }
  export type NextFunction = (error?: unknown) => void
  export type Handler = (request: Request, response: Response, next: NextFunction) => unknown
  export type ErrorHandler = (error: Error, request: Request, response: Response, next: NextFunction) => unknown
  export interface Application {
    (request: IncomingMessage, response: ServerResponse): void
    use(...handlers: (Handler | ErrorHandler)[]): this
    get(path: string, ...handlers: Handler[]): this
    post(path: string, ...handlers: Handler[]): this
    disable(setting: string): this
  }
  const express: { (): Application; json(options?: { limit?: string }): Handler }
  export default express
}
