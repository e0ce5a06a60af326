import 'reflect-metadata'
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'

@Entity()
class User {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string
}

const source = await new DataSource({ type: 'sqljs', entities: [User], synchronize: true }).initialize()
export default async () => {
  await source.getRepository(User).save({ name: 'Ada' })
  return Response.json(await source.getRepository(User).find())
}
