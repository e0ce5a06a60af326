import nunjucks from 'nunjucks'

nunjucks.configure('views')
export default () => new Response(nunjucks.render('page.njk', { name: 'Ada' }))
