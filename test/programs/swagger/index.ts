import express from 'express'
import swagger from 'swagger-ui-express'
import { fromNode } from 'thaw'

// Serves the files of a package.
const app = express()
app.use('/docs', swagger.serve, swagger.setup({ openapi: '3.1.0', info: { title: 'Shop', version: '1' }, paths: {} }))
export default fromNode(app)
