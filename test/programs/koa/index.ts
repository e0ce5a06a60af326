import Router from '@koa/router'
import Koa from 'koa'
import { fromNode } from 'thaw'

const router = new Router()
router.get('/hello/:name', (context) => {
  context.body = { hello: context.params.name }
})
export default fromNode(new Koa().use(router.routes()).callback())
