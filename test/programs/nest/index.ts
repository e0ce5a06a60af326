import 'reflect-metadata'
import { Controller, Get, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { fromNode } from 'thaw'

// Injects by decorator metadata, and looks for packages that are not installed.
@Injectable()
class Greeter {
  greet() {
    return { hello: 'from Nest' }
  }
}

@Controller()
class Hello {
  constructor(private readonly greeter: Greeter) {}
  @Get('hello')
  hello() {
    return this.greeter.greet()
  }
}

@Module({ controllers: [Hello], providers: [Greeter] })
class App {}

const app = await NestFactory.create(App, { logger: false })
await app.init()
export default fromNode(app.getHttpAdapter().getInstance())
