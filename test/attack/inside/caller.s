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
  cmp qword ptr [rbx], 2
  je again
  mov r15, [rbx+64]
  mov ecx, 5
3: mov rax, [rbx+rcx*8+16]
  bt r15, rcx
  jnc 4f
  mov rax, [rax*8+0x10008000]
4: push rax
  dec ecx
  jns 3b
  mov rax, [rbx+8]
  pop rdi
  pop rsi
  pop rdx
  pop r10
  pop r8
  pop r9
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
# The calls before once more: [rbx+8] of them, [rbx+16] times at most, [rbx+24] times so far; each time [rbx+32] is added to what
# lies [rbx+40] from here. Its result is how often; when some failed, the error of the first.
again:
  mov rcx, [rbx+8]
  mov rsi, r14
  xor edx, edx
7: sub rsi, 8
  mov rax, [rsi]
  test rax, rax
  cmovs rdx, rax
  dec rcx
  jnz 7b
  mov rax, rdx
  test rax, rax
  js 6b
  inc qword ptr [rbx+24]
  mov rax, [rbx+24]
  cmp rax, [rbx+16]
  jae 6b
  mov rcx, [rbx+40]
  mov rax, [rbx+32]
  add [rbx+rcx], rax
  mov rcx, [rbx+8]
  add r13, rcx
  mov r14, rsi
  imul rcx, rcx, 72
  sub rbx, rcx
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
