# A program for x86_64 Linux that makes the system calls it reads from its standard input; caller.ts has its bytes and says
# how they are laid out. Assembled with: as caller.s -o caller.o && objcopy -O binary -j .text caller.o caller.bin
.intel_syntax noprefix
.globl _start
_start:
  mov r12d, 0x10010000
1: xor eax, eax
  xor edi, edi
  mov rsi, r12
  mov edx, 65536
  syscall
  test rax, rax
  jle 2f
  add r12, rax
  jmp 1b
2: mov ebx, 0x10010000
  mov r13, [rbx]
  add rbx, 8
  mov r14d, 0x10008000
loop:
  test r13, r13
  jz out
  mov r15, [rbx+64]
  xor ecx, ecx
3: mov rax, [rbx+rcx*8+16]
  bt r15, rcx
  jnc 4f
  mov rax, [rax*8+0x10008000]
  mov [rbx+rcx*8+16], rax
4: inc ecx
  cmp ecx, 6
  jne 3b
  mov rax, [rbx+8]
  mov rdi, [rbx+16]
  mov rsi, [rbx+24]
  mov rdx, [rbx+32]
  mov r10, [rbx+40]
  mov r8, [rbx+48]
  mov r9, [rbx+56]
  cmp qword ptr [rbx], 0
  jne 5f
  syscall
  jmp 6f
5: push rbx
  mov ecx, esi
  mov ebx, edi
  mov esi, r10d
  mov edi, r8d
  int 0x80
  pop rbx
6: mov [r14], rax
  add r14, 8
  add rbx, 72
  dec r13
  jmp loop
out:
  mov rdx, r14
  mov esi, 0x10008000
  sub rdx, rsi
  mov edi, 1
  mov eax, 1
  syscall
  mov eax, 231
  xor edi, edi
  syscall
