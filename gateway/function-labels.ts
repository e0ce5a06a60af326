// Owns the labels of functions in /metrics: a series stays for as long as the platform runs, also of a function that is gone, so there
// are so many at most. Functions beyond that are counted as `_other`. One namespace has at most half of them.

export interface FunctionLabels {
  readonly namespace: string
  readonly function: string
}

const MOST_FUNCTIONS = 2000
const OTHER = '_other'

/** Always the same object for the same labels. */
export class FunctionLabelBook {
  readonly #most: number
  readonly #namespaces = new Map<string, Map<string, FunctionLabels>>()
  #count = 0

  constructor(most = MOST_FUNCTIONS) {
    this.#most = most
  }

  of(namespace: string, name: string): FunctionLabels {
    return this.#namespaces.get(namespace)?.get(name) ?? this.#add(namespace, name)
  }

  #add(namespace: string, name: string): FunctionLabels {
    const known = this.#namespaces.get(namespace)
    if (this.#count >= this.#most || (known !== undefined && known.size >= this.#most / 2))
      // A namespace without any series of its own shares one with others like it.
      return this.#keep(known === undefined ? OTHER : namespace, OTHER)
    this.#count++
    return this.#keep(namespace, name)
  }

  #keep(namespace: string, name: string): FunctionLabels {
    const functions = this.#namespaces.get(namespace) ?? new Map<string, FunctionLabels>()
    this.#namespaces.set(namespace, functions)
    let labels = functions.get(name)
    if (labels === undefined) {
      labels = { namespace, function: name }
      functions.set(name, labels)
    }
    return labels
  }
}
