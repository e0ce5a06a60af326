// The function that the attack tests deploy: what it does is asked for by path, one attack a request.
import { startBomb } from './bombs.ts'
import { drip, fill } from './budgets.ts'
import { type KernelCall, makeCalls } from './caller.ts'
import { take } from './charged.ts'
import { speak } from './forged.ts'
import { leave } from './leave.ts'
import { poison } from './poison.ts'
import { type Step, takeSteps } from './steps.ts'

const born = `${process.pid}-${Date.now()}-${Math.random()}`
let calls = 0

export default async (request: Request, ctx: { waitUntil(promise: Promise<unknown>): void }): Promise<unknown> => {
  calls++
  const [kind, name = ''] = new URL(request.url).pathname.slice(1).split('/')
  if (kind === 'calls') return Response.json(makeCalls((await request.json()) as KernelCall[]))
  if (kind === 'steps') return Response.json(await takeSteps((await request.json()) as Step[]))
  if (kind === 'bomb') return Response.json(await startBomb(name))
  if (kind === 'fill') return Response.json(await fill(name))
  if (kind === 'take') return Response.json(take(name))
  if (kind === 'drip') return new Response(await drip(Number(name), 1500))
  if (kind === 'leave') return leave(name)
  if (kind === 'wire') return speak(name, calls)
  if (kind === 'poison') return poison(name, ctx)
  if (kind === 'headers') return Response.json([...request.headers])
  if (kind === 'length')
    return new Response(`${request.headers.get('content-encoding')} ${(await request.arrayBuffer()).byteLength}`)
  return Response.json({ born, calls })
}
