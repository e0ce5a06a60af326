import i18next from 'i18next'
import Backend from 'i18next-fs-backend'

await i18next
  .use(Backend)
  .init({ lng: 'de', ns: ['words'], defaultNS: 'words', backend: { loadPath: './locales/{{lng}}/{{ns}}.json' } })
export default () => new Response(i18next.t('hello', { name: 'Ada' }))
