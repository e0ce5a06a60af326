// Which files code names from the working folder: `readFileSync('./a.txt')`, `express.static('public')`, `new Worker('./w.js')`.
// Inside, that folder is /code wherever files ship. Found by the text: a name counts only where a file or folder of it is there.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'

const TAKES_A_PATH =
  'readFile|readFileSync|createReadStream|readdir|readdirSync|opendir|opendirSync|existsSync|access|accessSync|stat|statSync|open|' +
  'openSync|openAsBlob|copyFile|copyFileSync|cp|cpSync|resolve|join|static|serveStatic|sendFile|download|renderFile|compileFile|' +
  'Worker|fork|FileSystemLoader|configure|loadEnvFile'
const KEYS =
  'root|dir|directory|views|viewsDir|templates|templatesDir|publicDir|partials|layouts|loadPath|filename|migrationsFolder|apis'
/** What opens a name: a call, a key, Express's setting; a folder that the names are joined to. */
const OPENING = new RegExp(
  String.raw`\b(?:${TAKES_A_PATH})\(\s*|\b(?:${KEYS})\s*:\s*\[?\s*|\.set\(\s*['"]views['"]\s*,\s*`,
  'g',
)
const JOINED_TO = /(?:(__dirname|import\.meta\.dirname)|process\.cwd\(\))\s*,\s*/y
/** A text in quotes, or the part of a template before its first value; then what follows. */
const LITERAL = /(?:'([^'\n\\]+)'|"([^"\n\\]+)"|`([^`$\n\\]+)(`|\$\{))\s*(,\s*|\+)?/y
/** Express looks into `views` unless told otherwise. */
const VIEW_ENGINE = /\.set\(\s*['"]view engine['"]/
/** A folder of the machine's or of the tools', never meant here. */
const NOT_MEANT = /(^|[\\/])(node_modules|\.[^\\/]*)([\\/]|$)/
/** One more than may ship: the deploy is refused then. */
const ENOUGH_FILES = 10_001

/** Absolute paths of files below `root` that the module at `path` names from the working folder, or in a way of an own from where
 *  it lies (`'locales/{{lng}}.json'`, `'routes/*.ts'`); of a folder all that is in it. */
export function filesFromWorkingFolder(path: string, text: string, root: string): Set<string> {
  const found = new Set<string>()
  for (const named of namesIn(path, text, root)) {
    if (!isBelow(root, named) || NOT_MEANT.test(relative(root, named)) || !existsSync(named)) continue
    if (!statSync(named).isDirectory()) found.add(named)
    else for (const file of filesBelow(named)) if (found.size < ENOUGH_FILES) found.add(file)
  }
  return found
}

/** Templates name each other: of one the whole folder's of its kind are taken. */
export function templatesBeside(path: string): string[] {
  const ending = /\.(?:ejs|eta|pug|jade|njk|nunjucks|hbs|handlebars|mustache|liquid|twig)$/.exec(path)?.[0]
  return ending === undefined ? [] : [...filesBelow(dirname(path))].filter((file) => file.endsWith(ending))
}

function namesIn(path: string, text: string, root: string): string[] {
  const names = VIEW_ENGINE.test(text) ? [resolve(root, 'views')] : []
  for (const opening of text.matchAll(OPENING)) {
    const isJoined = /^(?:join|resolve)\(/.test(opening[0])
    let start = opening.index + opening[0].length
    let from = root
    JOINED_TO.lastIndex = start
    const joinedTo = isJoined ? JOINED_TO.exec(text) : null
    if (joinedTo !== null) {
      start = JOINED_TO.lastIndex
      if (joinedTo[1] !== undefined) from = dirname(path)
    }
    for (const name of namesAt(text, start, isJoined)) {
      if (!/^(?:\/|[a-z]+:)/i.test(name) && !/^[./\\]*$/.test(name)) names.push(resolve(from, name))
    }
  }
  return names
}

/** The texts that stand here: of a call that joins them one path, else each by itself as far as it is fixed. Of one that goes on
 *  (`'views/' + name`, `'views/*.ejs'`, `'{{lng}}.json'`) the folder it begins with. */
function namesAt(text: string, start: number, isJoined: boolean): string[] {
  const parts: string[] = []
  for (let at = start; ; at = LITERAL.lastIndex) {
    LITERAL.lastIndex = at
    const literal = LITERAL.exec(text)
    if (literal === null) break
    const [, single, double, template, end, next] = literal
    const part = single ?? double ?? template!
    const fixed = part.split(/[*{]/, 1)[0]!
    const goesOn = end === '${' || next === '+' || fixed !== part
    parts.push(goesOn ? fixed.slice(0, fixed.lastIndexOf('/') + 1) : part)
    if ((goesOn && isJoined) || next === undefined || next === '+') break
  }
  return isJoined && parts.length > 0 ? [join(...parts)] : parts
}

function* filesBelow(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (NOT_MEANT.test(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}

function isBelow(root: string, path: string): boolean {
  const below = relative(root, path)
  return below !== '' && below !== '..' && !below.startsWith(`..${sep}`)
}
