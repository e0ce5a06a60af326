import initSqlJs from 'sql.js'

// Reads its WebAssembly next to its own module.
const SQL = await initSqlJs()
export default () => {
  const database = new SQL.Database()
  return Response.json(database.exec('select 40 + 2 as answer')[0]?.values)
}
