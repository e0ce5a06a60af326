import { createSchema, createYoga } from 'graphql-yoga'

const schema = createSchema({
  typeDefs: 'type Query { hello: String }',
  resolvers: { Query: { hello: () => 'from GraphQL' } },
})
const yoga = createYoga({ schema, graphqlEndpoint: '/', logging: false })
export default { fetch: (request: Request) => yoga.fetch(request) }
