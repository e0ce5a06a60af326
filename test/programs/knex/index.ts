import knex from 'knex'

// Asks for one of eight drivers, of which one is installed.
const database = knex({ client: 'pg' })
export default () => new Response(database('users').where({ id: 7 }).select('name').toString())
