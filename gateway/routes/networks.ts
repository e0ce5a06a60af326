// Owns the routes of networks of functions: make, list, show, remove. Which functions are on one is read from the registry.
import type { FunctionNetwork, FunctionNetworks } from '../../worker/registry/networks.ts'
import { functionsOn } from '../../worker/registry/networks.ts'
import { GatewayError } from '../errors.ts'
import { answerByName, nameOf, namespaceOf } from './query.ts'
import type { ControlParts, Route } from './route.ts'

export function networkRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/networks',
      id: 'listNetworks',
      summary: 'The networks of the namespace, by name',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'networks', schema: 'Network[]' } },
      handle: (context) =>
        answerByName(
          context,
          (after, limit) => bookOf(parts).page(namespaceOf(context), after, limit),
          (network) => view(network, parts),
        ),
    },
    {
      method: 'GET',
      path: '/v1/networks/{name}',
      id: 'getNetwork',
      summary: 'A network, with the functions on it',
      answers: { 200: { doc: 'the network', schema: 'Network' }, 404: { doc: 'there is none', schema: 'Problem' } },
      handle: (context) => context.json(view(bookOf(parts).get(namespaceOf(context), nameOf(context)), parts)),
    },
    {
      method: 'PUT',
      path: '/v1/networks/{name}',
      id: 'setNetwork',
      summary: 'Makes a network, which functions of the namespace can then be deployed onto',
      answers: {
        201: { doc: 'the new network', schema: 'Network' },
        200: { doc: 'it was there', schema: 'Network' },
      },
      handle: async (context) => {
        const { network, created } = await bookOf(parts).create(namespaceOf(context), nameOf(context))
        return context.json(view(network, parts), created ? 201 : 200)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/networks/{name}',
      id: 'removeNetwork',
      summary: 'Removes a network; refused while a function is on it',
      answers: { 204: { doc: 'gone' }, 409: { doc: 'it is in use', schema: 'Problem' } },
      handle: async (context) => {
        const [namespace, name] = [namespaceOf(context), nameOf(context)]
        await bookOf(parts).remove(namespace, name, functionsOn(parts.registry, namespace, name))
        return context.body(null, 204)
      },
    },
  ]
}

function bookOf({ networks }: ControlParts): FunctionNetworks {
  if (networks === undefined) throw new GatewayError('NOT_IMPLEMENTED', 'this platform has no networks')
  return networks
}

function view(network: FunctionNetwork, { registry }: ControlParts) {
  return { ...network, functions: functionsOn(registry, network.namespace, network.name) }
}
